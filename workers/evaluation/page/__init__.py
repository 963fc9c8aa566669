"""The report: one HTML file that needs no network and no script, and the same as Markdown.

render     summary -> page          report.html, style.html, parts.html are its templates
markdown   summary -> Markdown
telling    sentences about the job as a whole: its subject, its threat model, its sources
tables     rows -> what the tables show
stages     rows -> what each attack adds to those before it
points     checklist -> the fourteen points with their states
pictures   samples -> originals, perturbations, adversarial examples, as inline PNG
canvas     figures by matplotlib as inline SVG, in the colours of the page
lines      shares against something; epsilon and course are those of a job
portraits  models one by one: answers (confidence, confusion), landscape (a map of features, by embedding)
"""
