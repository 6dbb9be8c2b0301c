"""What looks like a secret, which stands neither in a new manifest nor in an image: others can read both.

Variables are looked at by their names and their values, and other texts for the forms of values alone.

A name counts if it ends in one of the words of `NAMES`, or in one of `ENDINGS` even within a word (`PGPASSWORD`), or if
`SECRET` is one of its words and its last word does not say that this is no secret itself, as in `SECRET_NAME`. It does
not count if its value is empty, a number of up to seven digits, `true`, `no`, `none` or the like, or if it begins with
`/`, `.` or `$`, as a path does. A value counts if it has one of the forms in
`FORMS`, whatever its name is.
"""

from __future__ import annotations

import re

__all__ = ["ABOUT", "ENDINGS", "FORMS", "NAMES", "kind_of_secret", "secret"]

NAMES = (
    "ACCESS_KEY",
    "ACCESS_KEY_ID",
    "API_KEY",
    "AUTH",
    "CREDENTIAL",
    "CREDENTIALS",
    "ENCRYPTION_KEY",
    "MASTER_KEY",
    "PASS",
    "PRIVATE_KEY",
    "PWD",
    "SECRETS",
    "SIGNING_KEY",
)
"""The words at the end of a name, after `_` or alone."""
ENDINGS = ("APIKEY", "PASSPHRASE", "PASSWD", "PASSWORD", "SECRET", "TOKEN")
"""The ends of names, with whatever stands before them."""
ABOUT = ("ARN", "DIR", "FILE", "ID", "LENGTH", "MANAGER", "NAME", "PATH", "PROVIDER", "REGION", "TTL", "TYPE", "URL")
"""The last words of names that have `SECRET` and tell something about one."""
FORMS = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----"),
    "a URL with a password": re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s:@$]+@"),
    "an access key of AWS": re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a token of GitHub": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22,})"),
    "a token of GitLab": re.compile(r"\bglpat-[\w-]{20}"),
    "a token of npm": re.compile(r"\bnpm_[A-Za-z0-9]{30,}"),
    "a token of Slack": re.compile(r"\bxox[abprs]-[\w-]{10,}"),
    "a key of Stripe": re.compile(r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{10,}"),
    "a key of a language model's API": re.compile(r"\bsk-[\w-]{20,}"),
    "a key of Google's APIs": re.compile(r"\bAIza[\w-]{35}"),
    "a JSON web token": re.compile(r"\beyJ[\w-]+\.eyJ[\w-]+\.[\w-]+"),
}
"""The forms of values, by what they are."""
_NAMED = re.compile(
    rf"(?:^|_)(?:{'|'.join(NAMES)})$|(?:{'|'.join(ENDINGS)})$|(?:^|_)SECRET_(?!(?:.*_)?(?:{'|'.join(ABOUT)})$)",
    re.IGNORECASE,
)
_HARMLESS = re.compile(r"|\d{1,7}|true|false|yes|no|on|off|none|[/.$][^\n]*", re.IGNORECASE)


def secret(name: str, value: str) -> str | None:
    """Return why a variable looks like a secret, as the end of a sentence, or None if it does not.

    >>> secret("DB_PASSWORD", "hunter2"), secret("TOKEN_FILE", "x"), secret("MAX_TOKEN", "100")
    ('its name says so', None, None)
    """
    if kind := kind_of_secret(value):
        return f"its value has the form of {kind}"
    return "its name says so" if _NAMED.search(name) and not _HARMLESS.fullmatch(value) else None


def kind_of_secret(text: str) -> str | None:
    """Return which kind of secret a text holds by its form, or None."""
    return next((kind for kind, form in FORMS.items() if form.search(text)), None)
