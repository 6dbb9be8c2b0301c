;; Where the packages of manifest.scm come from. No commit is pinned: README.md says why, and
;; `guix describe --format=channels > channels.scm` pins the one that you have.
%default-channels
