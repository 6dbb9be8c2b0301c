rec {
  concatStringsSep = builtins.concatStringsSep;
  genAttrs = names: f: builtins.listToAttrs (map (name: { inherit name; value = f name; }) names);
  remove = list: attrs: builtins.removeAttrs attrs list;
  reverseList = xs: let n = builtins.length xs; in builtins.genList (i: builtins.elemAt xs (n - i - 1)) n;
  makeBinPath = packages: concatStringsSep ":" (map (package: "${package}/bin") packages);
  optional = condition: value: if condition then [ value ] else [ ];
}
