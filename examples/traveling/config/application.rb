require_relative "boot"

require "rails"
require "active_model/railtie"
require "active_record/railtie"
require "action_controller/railtie"
require "rails/test_unit/railtie"

Bundler.require(*Rails.groups)

# DATABASE_URL wins over config/database.yml. The environment sets it for development, where tests must not write.
ENV.delete("DATABASE_URL") if Rails.env.test? && !ENV["DATABASE_URL"].to_s.match?(/_test(\?|\z)/)

module Traveling
  class Application < Rails::Application
    config.load_defaults 6.1
    config.api_only = true
  end
end
