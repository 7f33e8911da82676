import { words } from '../words';

/** What the app is, and what it is not. */
export const about = words({
  en: {
    title: 'About',
    fromSource: 'built from source',
    licence: 'MIT or Apache 2.0, as you like. The typefaces Inter and Source Serif are under the SIL Open Font License.',
    demo: 'The demo model was trained on synthesised speech only. It shows how the app works; people’s voices it understands badly. For real work, use one of OpenAI’s Whisper models.',
    silicon: 'The app was tested on CPUs. Nothing has run on an NPU yet: its program is computed by a stand-in on the CPU in the tests, and what is said about its speed is predicted.',
  },
  de: {
    title: 'Über die App',
    fromSource: 'aus dem Quelltext gebaut',
    licence: 'MIT oder Apache 2.0, nach Ihrer Wahl. Die Schriften Inter und Source Serif stehen unter der SIL Open Font License.',
    demo: 'Das Demomodell wurde nur mit künstlicher Sprache trainiert. Es zeigt, wie die App arbeitet; menschliche Stimmen versteht es schlecht. Nehmen Sie für richtige Arbeit eines der Whisper-Modelle von OpenAI.',
    silicon: 'Die App wurde auf CPUs getestet. Auf einer NPU ist noch nichts gelaufen: In den Tests rechnet ein Ersatz auf der CPU, und Angaben zum Tempo der NPU sind Vorhersagen.',
  },
  es: {
    title: 'Acerca de',
    fromSource: 'compilada a partir del código fuente',
    licence: 'MIT o Apache 2.0, a su elección. Las tipografías Inter y Source Serif tienen la licencia SIL Open Font License.',
    demo: 'El modelo de demostración se entrenó solo con voz sintética. Muestra cómo funciona la aplicación; las voces humanas las entiende mal. Para trabajar de verdad, use uno de los modelos Whisper de OpenAI.',
    silicon: 'La aplicación se ha probado en CPU. Todavía no se ha ejecutado nada en una NPU: en las pruebas calcula un sustituto en la CPU, y lo que se dice de su velocidad es una predicción.',
  },
  fr: {
    title: 'À propos',
    fromSource: 'compilée depuis les sources',
    licence: 'MIT ou Apache 2.0, à votre choix. Les polices Inter et Source Serif sont sous SIL Open Font License.',
    demo: 'Le modèle de démonstration n’a été entraîné que sur de la voix de synthèse. Il montre comment l’application fonctionne\u00a0; il comprend mal les voix humaines. Pour un vrai travail, utilisez l’un des modèles Whisper d’OpenAI.',
    silicon: 'L’application a été testée sur des CPU. Rien n’a encore tourné sur un NPU\u00a0: dans les tests, un substitut calcule sur le CPU, et ce qui est dit de sa vitesse est une prédiction.',
  },
  it: {
    title: 'Informazioni',
    fromSource: 'compilata dai sorgenti',
    licence: 'MIT o Apache 2.0, a tua scelta. I caratteri Inter e Source Serif sono sotto SIL Open Font License.',
    demo: 'Il modello dimostrativo è stato addestrato solo su voci sintetiche. Mostra come funziona l’app; le voci delle persone le capisce male. Per lavorare davvero, usa uno dei modelli Whisper di OpenAI.',
    silicon: 'L’app è stata provata su CPU. Su una NPU non è ancora stato eseguito nulla: nei test calcola un sostituto sulla CPU, e ciò che si dice della sua velocità è una previsione.',
  },
  pt: {
    title: 'Sobre',
    fromSource: 'compilada a partir do código-fonte',
    licence: 'MIT ou Apache 2.0, como preferir. As fontes Inter e Source Serif estão sob a SIL Open Font License.',
    demo: 'O modelo de demonstração foi treinado apenas com fala sintetizada. Ele mostra como o aplicativo funciona; vozes de pessoas ele entende mal. Para trabalhar de verdade, use um dos modelos Whisper da OpenAI.',
    silicon: 'O aplicativo foi testado em CPUs. Nada rodou ainda em uma NPU: nos testes, um substituto calcula na CPU, e o que se diz da velocidade dela é uma previsão.',
  },
});
