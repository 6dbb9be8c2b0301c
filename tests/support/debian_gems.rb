# Fills the directory that BUNDLE_PATH names with links to the gems that Debian has installed, as if Bundler had
# installed them there. Bundler looks nowhere else once BUNDLE_PATH is set. Those that come with Ruby are among them,
# because newer Bundlers ask a server for them.
require "fileutils"

top = File.join(ARGV.fetch(0), "ruby", RbConfig::CONFIG["ruby_version"])
extensions = File.join(top, "extensions", Gem::Platform.local.to_s, Gem.extension_api_version)
FileUtils.mkdir_p(["#{top}/gems", "#{top}/specifications", extensions])
own, installed = Gem::Specification.partition(&:default_gem?)
(installed + own).uniq(&:full_name).each do |spec|
  FileUtils.ln_s(spec.loaded_from, "#{top}/specifications/")
  # Debian keeps the code of some gems among Ruby's own, and has no directory for them.
  gem = "#{top}/gems/#{spec.full_name}"
  File.directory?(spec.full_gem_path) ? FileUtils.ln_s(spec.full_gem_path, gem) : FileUtils.mkdir(gem)
  next if spec.extensions.empty?

  extension = "#{extensions}/#{spec.full_name}"
  FileUtils.mkdir(extension)
  FileUtils.ln_s(Dir.glob("#{spec.extension_dir}/*"), extension)
  FileUtils.touch("#{extension}/gem.build_complete")
end
