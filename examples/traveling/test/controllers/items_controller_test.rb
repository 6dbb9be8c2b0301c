require "test_helper"

class ItemsControllerTest < ActionDispatch::IntegrationTest
  test "lists the newest item first" do
    get items_url
    assert_response :success
    assert_equal %w[kettle lamp], response.parsed_body.pluck("name")
  end

  test "creates an item" do
    assert_difference("Item.count", 1) do
      post items_url, params: { item: { name: "demo", description: "from a test" } }, as: :json
    end
    assert_response :created
    assert_equal({ "name" => "demo", "description" => "from a test" }, response.parsed_body.slice("name", "description"))
  end

  test "refuses an item without a name" do
    assert_no_difference("Item.count") { post items_url, params: { item: { name: " " } }, as: :json }
    assert_response 422
    assert_equal ["Name can't be blank"], response.parsed_body["errors"]
  end

  test "refuses a request without an item" do
    post items_url, params: { other: 1 }, as: :json
    assert_response :bad_request
  end

  test "shows an item" do
    get item_url(items(:one))
    assert_equal "It gives light.", response.parsed_body["description"]
  end

  test "removes an item" do
    item = Item.create!(name: "vase")
    assert_difference("Item.count", -1) { delete item_url(item) }
    assert_response :no_content
  end

  test "says that an item is not there" do
    [-> { get item_url(0) }, -> { delete item_url(0) }].each do |request|
      instance_exec(&request)
      assert_response :not_found
      assert_equal({ "error" => "Item not found" }, response.parsed_body)
    end
  end
end
