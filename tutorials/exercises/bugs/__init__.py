"""Programs with one silent mistake each. originals/ keeps them as they were handed out."""
