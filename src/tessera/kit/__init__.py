"""Tools that any project could use; no word of our domain lives here."""
