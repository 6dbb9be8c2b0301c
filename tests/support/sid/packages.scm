;; The packages of Guix's own that manifests of tests may name.
(specifications->manifest
 (list "ruby@3.4" "postgresql@16" "libyaml" "gcc-toolchain" "make" "pkg-config" "nss-certs" "tzdata" "curl"
       "coreutils" "sed"))
