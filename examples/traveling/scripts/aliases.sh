# shellcheck shell=bash
# Aliases and a function for bash and zsh. TRAVELING_ROOT is the directory of the project.
alias be="bundle exec"
alias rs="bundle exec rails server -b 0.0.0.0"
alias rc="bundle exec rails console"
alias dbup="\$TRAVELING_ROOT/scripts/db-up"
alias dbdown="\$TRAVELING_ROOT/scripts/db-down"
alias dbreset="\$TRAVELING_ROOT/scripts/db-reset"
alias dev="\$TRAVELING_ROOT/scripts/dev"
alias tests="\$TRAVELING_ROOT/scripts/test"
alias build-image="\$TRAVELING_ROOT/scripts/build-image"

# After `bundle install`, and `bundle` alone, the programs of the gems are in BUNDLE_BIN.
bundle() {
    command bundle "$@" || return
    case ${1-install} in
        install) command bundle binstubs --all ;;
    esac
}
