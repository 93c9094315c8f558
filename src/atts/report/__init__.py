"""What a person looks at after a run: a self-contained page, and a timeline for trace viewers."""
