"""The paths of the service, one group a file."""
