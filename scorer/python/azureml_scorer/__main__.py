from azureml_scorer.start import main

main()
