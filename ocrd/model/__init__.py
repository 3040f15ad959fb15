"""The model's files: verify them, fetch them, heal them. Nothing here imports torch."""
