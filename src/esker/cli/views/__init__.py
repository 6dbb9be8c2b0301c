"""What a person sees: tables, progress, states that change."""
