class ItemsController < ApplicationController
  rescue_from ActiveRecord::RecordNotFound do
    render json: { error: "Item not found" }, status: :not_found
  end

  def index
    render json: Item.newest_first
  end

  def show
    render json: Item.find(params[:id])
  end

  def create
    item = Item.new(params.require(:item).permit(:name, :description))
    if item.save
      render json: item, status: :created
    else
      render json: { errors: item.errors.full_messages }, status: 422 # the symbol's name depends on Rack's version
    end
  end

  def destroy
    Item.find(params[:id]).destroy!
    head :no_content
  end
end
