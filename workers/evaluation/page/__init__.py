"""The report: one HTML file that needs no network and no script.

render     summary -> page          report.html, style.html, parts.html are its templates
tables     rows -> what the tables show
charts     rows -> accuracy against epsilon, as inline SVG
pictures   samples -> originals, perturbations, adversarial examples, as inline PNG
"""
