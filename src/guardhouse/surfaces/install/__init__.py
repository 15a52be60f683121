"""Installing: Guardhouse's hook in each client's configuration, put in and taken out without losing a byte of anybody's."""
