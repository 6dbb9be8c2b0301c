"""From a realised profile and its declaration to an activation: a difference of variables, and what runs it."""
