{
  system ? builtins.currentSystem,
  withDocs ? false,
}:
let
  pkgs = import <nixpkgs> { inherit system; };
in
with pkgs;
mkShell {
  packages = [ jq ] ++ (if withDocs then [ hello ] else [ ]);
  inherit system;
  HOME_OF_THE_CALLER = builtins.getEnv "HOME";
}
