"""From children's social care census returns to a matched difference-in-differences estimate."""
