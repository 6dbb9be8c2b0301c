class Item < ApplicationRecord
  validates :name, presence: true

  scope :newest_first, -> { order(created_at: :desc, id: :desc) }
end
