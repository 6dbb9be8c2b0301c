;; A package of its own, which any manifest of a test can have: a program, and directories that search paths lead to.
(use-modules (guix packages) (guix gexp) (guix build-system trivial) (guix profiles) (guix search-paths)
             ((guix licenses) #:prefix license:))

(define (hello text)
  (package
    (name "hello") (version "1.0") (source #f) (build-system trivial-build-system)
    (arguments
     (list #:modules '((guix build utils))
           #:builder
           #~(begin
               (use-modules (guix build utils))
               (for-each (lambda (name) (mkdir-p (string-append #$output "/" name)))
                         '("bin" "lib/hello" "share/hello" "share/lua" "etc/hello"))
               (let ((program (string-append #$output "/bin/hi")))
                 (call-with-output-file program
                   (lambda (port) (format port "#!/bin/sh~%echo ~a~%" #$text)))
                 (chmod program #o755)))))
    (native-search-paths
     (list (search-path-specification (variable "HELLO_PATH") (files '("share/hello" "lib/hello")))
           (search-path-specification (variable "LUA_PATH") (files '("share/lua")) (separator ";"))
           (search-path-specification (variable "HELLO_CATALOGS") (files '("lib/hello")) (separator " "))
           (search-path-specification (variable "HELLO_ETC") (files '("etc/hello")) (separator #f))))
    (home-page "") (synopsis "") (description "") (license license:expat)))
