# shellcheck shell=sh disable=SC2154
# The builder of stdenv, which is one file.
PATH=/usr/bin:/bin
mkdir "$out"
cp "$setup" "$out/setup"
