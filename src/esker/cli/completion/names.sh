# shellcheck shell=sh
# Prints what can stand for a word of a command line, a name in each line, from files alone. $1 is the text of names.awk,
# $2 what is asked for, and $3 the project directory as it was typed, or nothing. No text here has a single quote.

# A manifest may be anything, a terminal device for example, and of any size.
LC_ALL=C
export LC_ALL
program=$1
read_names() {
    if [ -f "$2" ] && [ -r "$2" ]; then head -c 4000000 <"$2" | awk -v "what=$1" "$program"; fi
}
# The rules of `esker`: this directory, or inside a repository the nearest one above that has a project.
find_project() {
    here=$(pwd -P)
    project=
    if [ -d "$here/.flox" ]; then project=$here; fi
    nearest=
    while [ -z "$project" ]; do
        if [ -e "$here/.git" ] || [ -h "$here/.git" ]; then
            project=${nearest:-${FLOX_ENV_PROJECT-}}
            return
        fi
        if [ -z "$here" ]; then
            project=${FLOX_ENV_PROJECT-}
            return
        fi
        here=${here%/*}
        if [ -z "$nearest" ] && [ -d "$here/.flox" ]; then nearest=$here; fi
    done
}
case $2 in
    project)
        data=${XDG_DATA_HOME-}
        case $data in
            /*) ;;
            *) data=$HOME/.local/share ;;
        esac
        read_names project "$data/esker/env-registry.json" |
            while IFS= read -r project; do
                if [ -d "$project/.flox" ]; then printf "%s\n" "$project"; fi
            done
        exit
        ;;
esac
case ${3-} in
    "") find_project ;;
    [~]) project=$HOME ;;
    [~]/*) project=$HOME/${3#??} ;;
    *) project=$3 ;;
esac
if [ -z "$project" ]; then exit; fi
case $2 in
    service) read_names service "$project/.flox/env/manifest.toml" ;;
    declared)
        read_names declared "$project/.flox/env/manifest.toml"
        read_names declared "$project/pyproject.toml"
        ;;
    locked)
        read_names locked "$project/.flox/pylock.toml"
        read_names locked "$project/.flox/conda.lock"
        ;;
    program)
        for path in "$project/.flox/run/"*-dev/bin/*; do printf "%s\n" "${path##*/}"; done | awk -v what=program "$program"
        ;;
esac
