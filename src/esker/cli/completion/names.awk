# Prints names from one file: `what` is service or declared for a TOML file, locked for a lock, project for the list of
# environments, and program for a list. Only names of harmless characters are printed, and each of them once, because
# a project may be that of a stranger. Every awk understands this. No line has a single quote: \047 stands for one.

function say(name) {
    if (name ~ /^[A-Za-z0-9_][A-Za-z0-9_.+@-]*$/ && !(name in said)) {
        said[name] = 1
        print name
    }
}
# A key of TOML, or an element of a list, has been found: `path` is its keys, and `text` a text that stands there.
function found(path, text, keys, count) {
    count = split(path, keys, SUBSEP)
    if (what == "service") {
        if (count > 1 && keys[1] == "services" && keys[2] != "auto-start") say(keys[2])
    } else if (keys[1] == "install" && count > 1) {
        say(keys[2])
    } else if (is_dependency(keys, count)) {
        sub(/^.*::/, "", text)
        if (match(text, /^[A-Za-z0-9._-]+/)) say(substr(text, 1, RLENGTH))
    }
}
function is_dependency(keys, count) {
    if (keys[1] == "plugins" && keys[2] == "esker" && (keys[3] == "python" || keys[3] == "conda")) {
        return count == 4 && keys[4] == "dependencies" || count == 5 && keys[4] == "dependencies" && keys[5] == "spec"
    }
    if (keys[1] == "project") {
        return count == 2 && keys[2] == "dependencies" || count == 3 && keys[2] == "optional-dependencies"
    }
    return count == 2 && keys[1] == "dependency-groups"
}
function more() {
    if ((getline line) > 0) return 1
    line = ""
    return 0
}
# Goes to the next word of TOML, over comments and the ends of lines; the answer is 0 at the end of the file.
function next_word() {
    for (;;) {
        sub(/^[ \t\r]+/, "", line)
        if (line != "" && line !~ /^#/) return 1
        if (!more()) return 0
    }
}
function take(length_of_it, text) {
    text = substr(line, 1, length_of_it)
    line = substr(line, length_of_it + 1)
    return text
}
# Takes a text, and returns it. An escape in it becomes `??`, and so does all that has several lines.
function taken_text(quotes, at) {
    if (line ~ /^("""|\047\047\047)/) {
        quotes = take(3)
        for (;;) {
            if (quotes ~ /"/) gsub(/\\./, "??", line)
            at = index(line, quotes)
            if (at) break
            if (!more()) return "??"
        }
        take(at + 2)
        if (quotes ~ /"/) sub(/^""?/, "", line)
        else sub(/^\047\047?/, "", line)
        return "??"
    }
    if (match(line, /^"([^"\\]|\\.)*"/) || match(line, /^\047[^\047]*\047/)) {
        quotes = take(RLENGTH)
        gsub(/\\./, "??", quotes)
        return substr(quotes, 2, length(quotes) - 2)
    }
    line = ""
    return "??"
}
# Takes a key, whose parts points separate, and returns it below `path`.
function taken_key(path, part) {
    for (;;) {
        sub(/^[ \t]+/, "", line)
        if (match(line, /^[A-Za-z0-9_-]+/)) part = take(RLENGTH)
        else part = taken_text()
        path = path == "" ? part : path SUBSEP part
        sub(/^[ \t]+/, "", line)
        if (line !~ /^\./) return path
        take(1)
    }
}
function take_value(path, depth, close_it, key) {
    if (depth > 50 || !next_word()) exit
    if (line ~ /^["\047]/) {
        found(path, taken_text())
    } else if (line ~ /^[[{]/) {
        close_it = take(1) == "[" ? "]" : "}"
        while (next_word()) {
            if (substr(line, 1, 1) == close_it) {
                take(1)
                return
            }
            if (line ~ /^,/) {
                take(1)
            } else if (close_it == "]") {
                take_value(path, depth + 1)
            } else {
                key = taken_key(path)
                found(key, "")
                if (line ~ /^=/) {
                    take(1)
                    take_value(key, depth + 1)
                } else line = ""
            }
        }
    } else if (match(line, /^[^],}# \t]+/)) {
        take(RLENGTH)
    } else {
        line = ""
    }
}
BEGIN {
    if (what == "locked") {
        while (more()) {
            if (match(line, /^name = "[^"]*"/)) say(substr(line, 9, RLENGTH - 9))
            if (sub(/^ *- conda: .*\//, "", line) && sub(/-[^-]*-[^-]*$/, "", line)) say(line)
        }
    } else if (what == "program") {
        while (more()) say(line)
    } else if (what == "project") {
        while (more()) {
            while (match(line, /"path": *"[^"]*"/)) {
                key = substr(line, RSTART, RLENGTH)
                line = substr(line, RSTART + RLENGTH)
                sub(/^"path": *"/, "", key)
                if (key !~ /[\\[:cntrl:]]/ && sub(/\/\.flox"$/, "", key)) print key
            }
        }
    } else {
        while (next_word()) {
            if (line ~ /^\[/) {
                sub(/^\[\[?/, "", line)
                table = taken_key("")
                found(table, "")
            } else {
                key = taken_key(table)
                found(key, "")
                if (line ~ /^=/) {
                    take(1)
                    take_value(key, 0)
                }
            }
            line = ""
        }
    }
}
