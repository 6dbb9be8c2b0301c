;; The runtime on the host, the database in a container: `esker activate --runtime guix`,
;; or `guix shell -m manifest.scm` and then `source setup-env.sh`.
(use-modules (gnu packages)
             (guix profiles))

(packages->manifest
 (map specification->package
      '(;; the language
        "ruby@3.4"

        ;; libpq for the gem pg, and psql
        "postgresql@16"

        ;; for Ruby's psych
        "libyaml"

        ;; what builds gems that are written in C
        "gcc-toolchain"
        "make"
        "pkg-config"

        ;; what runs in production too
        "nss-certs"
        "tzdata"

        ;; for people
        "curl"

        ;; the same tools on every system
        "coreutils"
        "sed")))
