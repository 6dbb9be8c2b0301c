require "test_helper"

class ItemTest < ActiveSupport::TestCase
  test "needs a name" do
    assert_not Item.new(description: "nameless").valid?
  end

  test "tests do not write into the development database" do
    assert_match(/_test\z/, Item.connection_db_config.database)
  end
end
