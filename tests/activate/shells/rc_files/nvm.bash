# nvm: a function and a directory in front of PATH, and a `cd` that looks for .nvmrc.
# prompt: {dir} (v22.4.0) %
# path: ~/.nvm/versions/node/v22.4.0/bin
# check: nvm current => v22.4.0

export NVM_DIR="$HOME/.nvm"
nvm() {
    case $1 in
        use)
            PATH=${PATH#"$NVM_DIR"/versions/node/*/bin:}
            export PATH="$NVM_DIR/versions/node/$2/bin:$PATH" NVM_BIN="$NVM_DIR/versions/node/$2/bin"
            hash -r
            ;;
        current) echo "${NVM_BIN%/bin}" | sed 's,.*/,,' ;;
    esac
}
nvm use v22.4.0
cdnvm() {
    command cd "$@" || return $?
    if [[ -s .nvmrc ]]; then nvm use "$(cat .nvmrc)"; fi
}
alias cd='cdnvm'
cdnvm "$PWD" || true
PS1='\W ($(nvm current)) % '
