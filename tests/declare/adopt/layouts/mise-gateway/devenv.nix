{ pkgs, ... }: { packages = [ pkgs.jq ]; }
