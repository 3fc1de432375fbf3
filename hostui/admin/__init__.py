"""Django's admin as this box shows it: its site, its app configuration, its look."""
