Item.find_or_create_by!(name: "Example Item") { |item| item.description = "Created by db:seed" }
puts "Items in the database: #{Item.count}"
