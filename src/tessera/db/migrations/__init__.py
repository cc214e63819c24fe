"""The schema's history, run by Alembic. Whoever writes the next migration starts at ``schema``."""
