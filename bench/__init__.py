"""How fast is the gateway here? ``python -m bench`` measures it beside a bare handler in the same run."""
