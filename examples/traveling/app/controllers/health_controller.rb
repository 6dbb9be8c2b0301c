# Whether the API runs, and whether it reaches its database.
class HealthController < ApplicationController
  def show
    ActiveRecord::Base.connection_pool.with_connection { |connection| connection.select_value("SELECT 1") }
    render json: { status: "ok", database: "connected" }
  rescue ActiveRecord::ActiveRecordError, PG::Error
    render json: { status: "degraded", database: "disconnected" }, status: :service_unavailable
  end
end
