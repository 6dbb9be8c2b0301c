# shellcheck shell=bash
export SOURCED="$*"
helper() { echo "help $1"; }
