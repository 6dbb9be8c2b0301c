require "test_helper"

class HealthControllerTest < ActionDispatch::IntegrationTest
  test "says that the database answers" do
    get "/health"
    assert_response :success
    assert_equal({ "status" => "ok", "database" => "connected" }, response.parsed_body)
  end

  test "says that the database does not answer" do
    pool = ActiveRecord::Base.connection_pool
    pool.define_singleton_method(:with_connection) { |*| raise PG::ConnectionBad, "connection refused" }
    get "/health"
    assert_response :service_unavailable
    assert_equal({ "status" => "degraded", "database" => "disconnected" }, response.parsed_body)
  ensure
    pool.singleton_class.remove_method(:with_connection)
  end
end
