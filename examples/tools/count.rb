# Reads a JSON list of names and prints each with its number, the most frequent first.
require "json"

JSON.parse($stdin.read).tally.sort_by { |name, count| [-count, name] }.each do |name, count|
  puts format("%5d  %s", count, name)
end
