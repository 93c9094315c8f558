"""What a run would take: the same pipeline on simulated engines and a virtual clock."""
