# shellcheck shell=bash disable=SC2154,SC2123
# What a build environment begins with: the programs of its inputs, before those of this machine.
: "${outputs:=out}"
PATH=
for input in $nativeBuildInputs $buildInputs; do
    PATH=${PATH:+$PATH:}$input/bin
done
PATH=$PATH:/usr/bin:/bin
export PATH IN_NIX_SHELL=impure
addToSearchPath() { export "$1=${!1:+${!1}:}$2"; }
for input in $buildInputs; do
    addToSearchPath PKG_CONFIG_PATH "$input/lib/pkgconfig"
done
unset input
