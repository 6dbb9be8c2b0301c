Rails.application.routes.draw do
  get "/health", to: "health#show"
  resources :items, only: %i[index show create destroy]
end
