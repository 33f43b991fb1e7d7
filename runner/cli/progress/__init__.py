"""What is seen while requests are out."""
