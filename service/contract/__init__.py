"""What the processes say to each other, each thing declared once: questions to the engine, answers, jobs."""
