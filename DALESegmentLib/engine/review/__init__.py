"""Review: doubtful regions and what the clinician decided about them. No torch."""
