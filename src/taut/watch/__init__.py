"""prediction -> window -> alert: what served models see and say, held against what they were trained on."""
