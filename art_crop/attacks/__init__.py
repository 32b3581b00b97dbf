"""Evasion attacks as ART knows them: one attack, one file."""
