"""The world, northward: where readings leave."""
