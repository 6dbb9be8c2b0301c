# Puts the elements of the second parameter, which colons separate, in front of the list variable that the first names,
# and removes them from the rest of it. Further parameters are added at the end, unless the list contains them already.
function _esker_prepend
    set -l front
    set -l rest
    test -n "$argv[2]"; and set front (string split : -- "$argv[2]")
    test -n "$$argv[1]"; and set rest (string split : -- "$$argv[1]")
    for part in $front
        # Empty elements have a meaning where they stand, and are never moved.
        while test -n "$part"; and set -l index (contains -i -- $part $rest)
            set -e rest[$index]
        end
    end
    for part in $argv[3..]
        contains -- $part $rest $front; or set -a rest $part
    end
    set -gx $argv[1] (string join : -- $front $rest)
end
# Puts an element, the second parameter, in front of the list variable that the first names, whose text the third opens,
# the fourth separates and the fifth closes.
function _esker_first
    set -l old "$$argv[1]"
    test -n "$argv[3]"; and set old (string sub -s 2 -e -1 -- "$old")
    test -n "$old"; and set old (string replace -- "$argv[4]$argv[2]$argv[4]" "$argv[4]" "$argv[4]$old$argv[4]" | string sub -e -1)
    set -gx $argv[1] "$argv[3]$argv[2]$old$argv[5]"
end
