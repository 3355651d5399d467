"""What a person looks at: tables and figures, pure functions of what is stored."""
