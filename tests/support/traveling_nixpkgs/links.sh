# shellcheck shell=sh disable=SC2154
# The builder of a package: links to programs of this machine, or nothing where it lacks them.
PATH=/usr/local/bin:/usr/bin:/bin
mkdir -p "$out/bin"
for program in $programs; do
    ! command -v "$program" >/dev/null || ln -s "$(command -v "$program")" "$out/bin/"
done
