ENV["BUNDLE_GEMFILE"] ||= File.expand_path("../Gemfile", __dir__)

require "bundler/setup"
require "logger" # Rails before 7.1 uses it without loading it
require "bootsnap/setup"
